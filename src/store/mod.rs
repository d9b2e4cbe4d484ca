//! Topology stores: where topology and VSchema come from and how changes are noticed.
