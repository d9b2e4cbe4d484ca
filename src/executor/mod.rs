//! Statement dispatch: joins plan, engine and session.
