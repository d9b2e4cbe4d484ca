//! A local cluster of real database servers, for the demo, tests and benchmarks.
