"""The RNN Seq2Seq: recurrent encoder-decoders, with and without attention."""
