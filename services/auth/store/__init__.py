"""All SQL of auth: transactions, with one class of statements for each noun."""
