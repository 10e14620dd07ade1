//! What can go wrong with the bytes, told from what can be wrong with them.

use std::error::Error;
use std::fmt;

use crate::error::ReplyError;
use crate::limits::LimitExceeded;
use crate::prelude::*;

/// Why there are no more events. `E` is the error of whatever the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventError<E> {
    /// The bytes broke off.
    Read(E),
    /// An event is larger than the decoder's limit.
    Limit(LimitExceeded),
}

/// Why there are no more deltas. `E` is the error of whatever the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaError<E> {
    /// The bytes broke off. The decoder tells what became of the reply: behind a finish reason it
    /// may be whole.
    Read(E),
    /// The reply failed or is cut, as the decoder found it.
    Reply(Box<ReplyError>),
}

impl<E> fmt::Display for EventError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str(BROKE_OFF),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

impl<E> fmt::Display for DeltaError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str(BROKE_OFF),
            Self::Reply(error) => error.fmt(f),
        }
    }
}

/// The source of such an error says why.
const BROKE_OFF: &str = "the bytes of the reply broke off";

impl<E: Error + 'static> Error for EventError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Limit(_) => None,
        }
    }
}

impl<E: Error + 'static> Error for DeltaError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Reply(_) => None,
        }
    }
}
