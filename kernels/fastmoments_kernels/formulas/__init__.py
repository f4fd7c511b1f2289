"""What is computed: scalar mathematics over the vocabulary, one file per activation and per shared part."""
