//! Cluster operations behind shardgate ctl.
