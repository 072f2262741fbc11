"""The application that the simulated pods do not run: one process that works for every ready replica."""
