"""Results of runs and audits: schemas, tables, folders."""
