//! `null`: one place for every value, the id `00`.

use super::{Vindex, VindexError, VindexTraits};
use crate::topology::KeyspaceId;
use crate::value::ValueRef;

#[derive(Debug)]
pub(super) struct Null;

impl Vindex for Null {
    fn traits(&self) -> VindexTraits {
        VindexTraits { is_hashing: false, ..VindexTraits::functional(100) }
    }

    fn hash(&self, _value: ValueRef<'_>) -> Result<Option<KeyspaceId>, VindexError> {
        Ok(Some(KeyspaceId::from_bytes(&[0])))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::*;

    #[test]
    fn known_answers() {
        check(&Null, &[ValueRef::Null], "00");
        check(&Null, &[ValueRef::Int(7)], "00");
    }
}
