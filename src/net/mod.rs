//! Byte transports shared by the client and the backend side: TCP, unix socket, TLS; pooled buffers.
