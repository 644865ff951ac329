"""From images to the input of the networks: decoding, the packed cache, sampling, the stream of batches."""
