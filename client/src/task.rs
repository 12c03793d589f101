//! What can be submitted: typed tasks, process tasks, and raw calls of a handler by name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use bytes::Bytes;
use ringhold_types::{ProcessCall, ProcessExit, TaskCall, TaskResult};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, CodecError, JSON, Json, decode, encode};

/// A typed task: the struct is the input, the name says which handler runs it. It can be derived, with feature `derive`.
///
/// ```
/// #[derive(serde::Serialize)]
/// struct Render { page: u64 }
///
/// impl ringhold_client::Task for Render {
///     const NAME: &'static str = "render";
///     type Output = String;
/// }
/// ```
pub trait Task: Serialize {
    /// Name of the handler.
    const NAME: &'static str;
    /// Name of the executor that [`crate::Client::typed`] takes; `default`, which `ringhold dev` has, unless it is set.
    const EXECUTOR: &'static str = "default";
    /// What the handler returns.
    type Output: DeserializeOwned + Send + 'static;
}

/// Everything that [`crate::Executor::submit`] takes: a reference to a [`Task`], a [`ProcessTask`], a [`HandlerTask`].
pub trait Submittable {
    /// What its handle resolves to.
    type Output: Send + 'static;

    /// The call as it is stored.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when the input cannot be written.
    fn to_call(&self) -> Result<TaskCall, CodecError>;

    /// Reads the result.
    ///
    /// # Errors
    /// [`CodecError::Decode`] or [`CodecError::ContentType`] when it is not what was expected.
    fn read(result: TaskResult) -> Result<Self::Output, CodecError>;
}

impl<T: Task> Submittable for &T {
    type Output = T::Output;

    fn to_call(&self) -> Result<TaskCall, CodecError> {
        handler_call::<T, Json>(self)
    }

    fn read(result: TaskResult) -> Result<Self::Output, CodecError> {
        decode::<T::Output, Json>(&result)
    }
}

/// The call of a typed task in a codec's form.
pub(crate) fn handler_call<T: Task, C: Codec>(task: &T) -> Result<TaskCall, CodecError> {
    Ok(TaskCall::Handler {
        name: T::NAME.to_owned(),
        version: None,
        payload: encode::<T, C>(task)?,
        content_type: C::CONTENT_TYPE.to_owned(),
    })
}

/// A program to run, started without a shell. The executor's configuration must allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTask {
    call: ProcessCall,
}

impl ProcessTask {
    /// A program by its name or absolute path.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::default().arg(program)
    }

    /// Adds one argument; any bytes but NUL.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        let bytes = Bytes::copy_from_slice(argument.as_ref().as_bytes());
        self.call.arguments.push(bytes);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of its environment, on top of the member's filtered one.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.call.environment.insert(name.into(), value.into());
        self
    }

    /// Sets its working directory.
    #[must_use]
    pub fn working_directory(mut self, directory: impl Into<String>) -> Self {
        self.call.working_directory = Some(directory.into());
        self
    }

    /// Sets the bytes of its standard input; `/dev/null` otherwise.
    #[must_use]
    pub fn standard_input(mut self, bytes: impl Into<Bytes>) -> Self {
        self.call.standard_input = Some(bytes.into());
        self
    }
}

/// What a program left behind that ended with exit code zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessOutput {
    /// Its standard output.
    pub standard_output: Bytes,
    /// How it ended, and its standard error.
    pub exit: ProcessExit,
}

impl Submittable for ProcessTask {
    type Output = ProcessOutput;

    fn to_call(&self) -> Result<TaskCall, CodecError> {
        Ok(TaskCall::Process(self.call.clone()))
    }

    fn read(result: TaskResult) -> Result<Self::Output, CodecError> {
        Ok(ProcessOutput {
            standard_output: result.payload,
            exit: result.process.unwrap_or_default(),
        })
    }
}

/// A call of a handler by name with raw bytes, for callers without a Rust type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerTask {
    name: String,
    payload: Bytes,
    content_type: String,
}

impl HandlerTask {
    /// A call with this input.
    #[must_use]
    pub fn new(name: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            payload: payload.into(),
            content_type: JSON.to_owned(),
        }
    }

    /// States the form of the input; `application/json` otherwise.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }
}

impl Submittable for HandlerTask {
    type Output = TaskResult;

    fn to_call(&self) -> Result<TaskCall, CodecError> {
        Ok(TaskCall::Handler {
            name: self.name.clone(),
            version: None,
            payload: self.payload.clone(),
            content_type: self.content_type.clone(),
        })
    }

    fn read(result: TaskResult) -> Result<Self::Output, CodecError> {
        Ok(result)
    }
}
