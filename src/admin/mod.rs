//! HTTP: health, metrics, status; the control API.
