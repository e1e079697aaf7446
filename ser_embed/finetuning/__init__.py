"""Fine-tuning: the upper layers of an encoder and a classifier, trained on the cached frames of the layers below."""
