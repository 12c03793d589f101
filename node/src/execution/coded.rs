//! The forms in which a typed handler takes its input and gives its result.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use ringhold_types::{Codec, CodecCause, Json};

use super::{AttemptContext, Handler, HandlerError, HandlerInput, HandlerOutput, TypedHandler};

/// A [`TypedHandler`] with the forms that it speaks: JSON, and each [`Codec`] that is added. A task is read by the codec of the
/// content type that it states, and its result is written by the same one; a task that states none is JSON.
///
/// ```
/// # use ringhold_node::{AttemptContext, Coded, HandlerError, TypedHandler};
/// # use ringhold_types::{Codec, CodecCause};
/// struct Double;
///
/// impl TypedHandler for Double {
///     const NAME: &'static str = "double";
///     type Input = u64;
///     type Output = u64;
///
///     async fn run(&self, _context: AttemptContext, number: u64) -> Result<u64, HandlerError> {
///         Ok(2 * number)
///     }
/// }
/// # struct Cbor;
/// # impl Codec for Cbor {
/// #     const CONTENT_TYPE: &'static str = "application/cbor";
/// #     fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, CodecCause> { Ok(serde_json::to_vec(value)?) }
/// #     fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecCause> { Ok(serde_json::from_slice(bytes)?) }
/// # }
///
/// let member = ringhold_node::Member::single().coded_handler(Coded::new(Double).codec::<Cbor>());
/// ```
pub struct Coded<H: TypedHandler> {
    handler: H,
    /// By content type.
    forms: BTreeMap<&'static str, Form<H>>,
}

/// One codec for one handler's types.
struct Form<H: TypedHandler> {
    decode: fn(&[u8]) -> Result<H::Input, CodecCause>,
    encode: fn(&H::Output) -> Result<Vec<u8>, CodecCause>,
}

impl<H: TypedHandler> Coded<H> {
    /// A handler that speaks JSON.
    #[must_use]
    pub fn new(handler: H) -> Self {
        let speechless = Self {
            handler,
            forms: BTreeMap::new(),
        };
        speechless.codec::<Json>()
    }

    /// The same, and it speaks the form of this codec, too; in place of an earlier one of the same content type.
    #[must_use]
    pub fn codec<C: Codec>(mut self) -> Self {
        let form = Form {
            decode: C::decode::<H::Input>,
            encode: C::encode::<H::Output>,
        };
        self.forms.insert(C::CONTENT_TYPE, form);
        self
    }

    /// The form of a content type.
    fn form(&self, stated: &str) -> Result<(&'static str, &Form<H>), HandlerError> {
        let stated = if stated.is_empty() {
            Json::CONTENT_TYPE
        } else {
            stated
        };
        let found = self.forms.get_key_value(stated);
        found.map(|(name, form)| (*name, form)).ok_or_else(|| {
            let known: Vec<&str> = self.forms.keys().copied().collect();
            let (name, known) = (H::NAME, known.join(", "));
            HandlerError::new(format!("{name} does not speak {stated}; it speaks {known}"))
        })
    }
}

impl<H: TypedHandler> Handler for Coded<H> {
    fn run(
        &self,
        context: AttemptContext,
        input: HandlerInput,
    ) -> BoxFuture<'_, Result<HandlerOutput, HandlerError>> {
        Box::pin(async move {
            let (content_type, form) = self.form(&input.content_type)?;
            let name = H::NAME;
            let decoded = (form.decode)(&input.payload).map_err(|cause| {
                HandlerError::new(format!(
                    "the input of {name} does not read as {content_type}: {cause}"
                ))
            })?;
            drop(input);
            let output = self.handler.run(context, decoded).await?;
            let payload = (form.encode)(&output).map_err(|cause| {
                HandlerError::new(format!(
                    "the result of {name} is no {content_type}: {cause}"
                ))
            })?;
            Ok(HandlerOutput {
                payload: payload.into(),
                content_type: content_type.to_owned(),
            })
        })
    }
}
