use std::path::PathBuf;

use tch::TchError;

/// What can go wrong with a network, its weights or its training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A name that is no network.
    #[error("unknown model {found:?}; expected one of {expected}")]
    UnknownModel {
        /// The name given.
        found: String,
        /// The names there are, joined by commas.
        expected: &'static str,
    },
    /// A network of the study that this version does not have.
    #[error("model {name} is not available yet; expected one of {expected}")]
    NotAvailable {
        /// The name given.
        name: String,
        /// The names there are, joined by commas.
        expected: &'static str,
    },
    /// The input of a network has another shape than the network takes.
    #[error("{model} takes a batch of shape [n, {}], found {found:?}", join(.expected))]
    Input {
        /// The network.
        model: &'static str,
        /// Shape of one input, the batch axis left out.
        expected: Vec<usize>,
        /// Shape of the batch given.
        found: Vec<usize>,
    },
    /// libtorch refused an operation.
    #[error("libtorch failed to {doing}")]
    Torch {
        /// What was being done.
        doing: &'static str,
        /// What libtorch says.
        #[source]
        source: TchError,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done: `read`, `write`.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Lengths of axes as they stand in a message: `45, 45, 45`.
fn join(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// Names what was being done when libtorch failed.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, ModelError>;
}

impl<T> Doing<T> for Result<T, TchError> {
    fn doing(self, doing: &'static str) -> Result<T, ModelError> {
        self.map_err(|source| ModelError::Torch { doing, source })
    }
}
