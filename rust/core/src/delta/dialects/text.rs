//! A body that is the answer itself. No event is looked for in it: `delta/text.rs` decodes it.

use crate::event::Event;

use super::super::failure::ReadSiteError;
use super::{Added, DeltaSink, DialectReader, Output};

/// Reads nothing: a reply of this dialect has neither events nor a JSON body.
#[derive(Debug, Clone, Default)]
pub(in crate::delta) struct PlainText;

impl DialectReader for PlainText {
    fn read_event<'a, S: DeltaSink + ?Sized>(
        &mut self,
        _: &Event<'a>,
        _: &mut Output<'_, S>,
    ) -> Option<Added<'a>> {
        None
    }

    fn key_matters(&self, _: &str) -> bool {
        true
    }
}

impl ReadSiteError for PlainText {}
