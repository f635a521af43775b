"""What `import pruning` offers: from a model and data, as a person has them, to a result that shows itself."""
