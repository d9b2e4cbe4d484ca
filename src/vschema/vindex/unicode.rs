//! Primary collation weights of text.

use super::VindexError;

/// Feeds the weights of `text`, in portions, to `feed`.
pub(super) fn weights(text: &[u8], mut feed: impl FnMut(&[u8])) -> Result<(), VindexError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| VindexError::InvalidUtf8(String::from_utf8_lossy(text).into_owned()))?;
    feed(text.trim_end_matches(' ').as_bytes());
    Ok(())
}
