//! Handlers by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::handler::BlockingHandler;
use super::{
    AttemptContext, Coded, Handler, HandlerError, HandlerInput, HandlerOutput, TypedHandler,
};

/// Name of the handler that returns its input; every registry made by [`HandlerRegistry::with_echo`] has it.
pub const ECHO: &str = "ringhold.echo";

/// A handler's name was given twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a handler named {name:?} is registered already; give this one another name")]
pub struct HandlerNameTaken {
    /// The name.
    pub name: String,
}

/// A registered handler.
#[derive(Clone)]
pub(super) enum Registered {
    /// Shares the runtime's threads.
    Asynchronous(Arc<dyn Handler>),
    /// Occupies a thread while it runs.
    Blocking(Arc<BlockingHandler>),
}

/// The in-process handlers of a member, by the names that tasks call them by.
#[derive(Clone, Default)]
pub struct HandlerRegistry {
    by_name: BTreeMap<String, Registered>,
}

impl std::fmt::Debug for HandlerRegistry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl HandlerRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry with `ringhold.echo`, which returns its input.
    #[must_use]
    pub fn with_echo() -> Self {
        let echo = Registered::Asynchronous(Arc::new(Echo));
        Self {
            by_name: BTreeMap::from([(ECHO.to_owned(), echo)]),
        }
    }

    /// Registers an asynchronous handler.
    ///
    /// # Errors
    /// [`HandlerNameTaken`].
    pub fn register(
        &mut self,
        name: impl Into<String>,
        handler: impl Handler,
    ) -> Result<&mut Self, HandlerNameTaken> {
        self.insert(name.into(), Registered::Asynchronous(Arc::new(handler)))
    }

    /// Registers a typed handler under its own name; it speaks JSON.
    ///
    /// # Errors
    /// [`HandlerNameTaken`].
    pub fn register_typed<H: TypedHandler>(
        &mut self,
        handler: H,
    ) -> Result<&mut Self, HandlerNameTaken> {
        self.register_coded(Coded::new(handler))
    }

    /// Registers a typed handler with the forms that it speaks, under its own name.
    ///
    /// # Errors
    /// [`HandlerNameTaken`].
    pub fn register_coded<H: TypedHandler>(
        &mut self,
        handler: Coded<H>,
    ) -> Result<&mut Self, HandlerNameTaken> {
        self.register(H::NAME, handler)
    }

    /// Registers a handler that blocks. It runs on a thread of its own, inside the member's runtime for handlers, and as many
    /// run at once as their pools have slots; as it cannot be interrupted, it keeps its slot until it returns, and should
    /// look at [`AttemptContext::is_cancelled`].
    ///
    /// # Errors
    /// [`HandlerNameTaken`].
    pub fn register_blocking(
        &mut self,
        name: impl Into<String>,
        handler: impl Fn(AttemptContext, HandlerInput) -> Result<HandlerOutput, HandlerError>
        + Send
        + Sync
        + 'static,
    ) -> Result<&mut Self, HandlerNameTaken> {
        self.insert(name.into(), Registered::Blocking(Arc::new(handler)))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Registered> {
        self.by_name.get(name)
    }

    fn insert(&mut self, name: String, handler: Registered) -> Result<&mut Self, HandlerNameTaken> {
        if self.by_name.contains_key(&name) {
            return Err(HandlerNameTaken { name });
        }
        self.by_name.insert(name, handler);
        Ok(self)
    }
}

struct Echo;

impl Handler for Echo {
    fn run(
        &self,
        _context: AttemptContext,
        input: HandlerInput,
    ) -> BoxFuture<'_, Result<HandlerOutput, HandlerError>> {
        let HandlerInput {
            payload,
            content_type,
        } = input;
        Box::pin(async move {
            Ok(HandlerOutput {
                payload,
                content_type,
            })
        })
    }
}
