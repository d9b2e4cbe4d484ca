//! Vindexes: functions from column values to keyspace ids, one file each.
