"""The errors that callers receive; reasons are those of the contract, texts those of docs/spec/rest.md."""
