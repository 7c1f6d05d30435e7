"""The small library that the chapters share: every class in it is built from nothing in one of them.

functions      sigmoid, softmax, cross-entropy and their kin: pure functions of arrays
layers         the Layer contract, then one short class for each node of a computational graph
gradient       numerical gradients, and checks that compare them with backpropagation's
networks       Params and TwoLayerNet
optimizers     SGD, Momentum, Adam
training       mini-batches, the training loop and its History
mnist          the handwritten digits: an embedded sample, or the full set
graph          Value: arithmetic that records its computational graph
drawing        a recorded graph as a picture
plots          the figures that more than one cell shares
exercises      the exercises of each chapter, which grade themselves
"""
