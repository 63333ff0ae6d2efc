"""Everything that a person or a program sees of clinder; the one place that cleans what hubs say."""
