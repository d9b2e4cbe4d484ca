//! From a target to a backend connection: health, tablet choice, retry.
