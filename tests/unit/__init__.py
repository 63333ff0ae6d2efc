"""Tests of single parts: no sockets, no other processes, quick."""
