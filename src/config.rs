//! Configuration of the router.
