//! Connection pools, one per tablet.
