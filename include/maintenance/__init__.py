"""The weekly maintenance of the database: prove the target, measure, do what is needed one by one, measure what it brought."""
