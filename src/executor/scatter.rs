//! tmp
use super::Executor;
use super::job::Job;
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::plan::primitive::Primitive;
impl Executor {
    pub(super) async fn scatter(
        &self,
        _job: &mut Job<'_>,
        _targets: &[Target],
        _tree: &Primitive,
    ) -> Result<()> {
        Err(Error::unsupported("scatter"))
    }
}
