//! SQL values and their comparison and arithmetic as MySQL defines them.
