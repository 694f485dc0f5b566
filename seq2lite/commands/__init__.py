"""The commands of `seq2lite` that are not recipes: each module has `main(arguments)`."""
