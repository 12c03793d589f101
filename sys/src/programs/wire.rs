//! Numbers, texts and lists in frames between a member, its helper and keepers. All decoders are total: any bytes are read or
//! refused.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Bytes of a frame at most: a task's arguments and environment, of which the operating system takes no more either.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Elements of a list at most: more arguments or variables fit no call of the operating system.
const LIST_MAX: usize = 256 * 1024;

/// Bytes that are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no frame of this version")]
pub struct Malformed;

/// Writes a frame's body.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn number(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn signed(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    pub(crate) fn text(&mut self, value: &std::ffi::OsStr) {
        let bytes = value.as_bytes();
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub(crate) fn optional(&mut self, value: Option<u64>) {
        self.flag(value.is_some());
        self.number(value.unwrap_or(0));
    }

    /// The frame: its length in four bytes, then its body.
    pub(crate) fn frame(self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let mut frame = length.to_le_bytes().to_vec();
        frame.extend(self.0);
        frame
    }
}

/// Reads a frame's body.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8], Malformed> {
        self.take(8)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        self.eight().map(u64::from_le_bytes)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Malformed> {
        self.eight().map(i64::from_le_bytes)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(crate) fn signed_small(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.signed()?).map_err(|_| Malformed)
    }

    pub(crate) fn text(&mut self) -> Result<OsString, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let bytes = self.take(length)?;
        // The operating system ends texts there: such a one would mean another than it says.
        if bytes.contains(&0) {
            return Err(Malformed);
        }
        Ok(OsString::from_vec(bytes.to_vec()))
    }

    pub(crate) fn optional(&mut self) -> Result<Option<u64>, Malformed> {
        let is_there = self.flag()?;
        let value = self.number()?;
        match (is_there, value) {
            (true, value) => Ok(Some(value)),
            (false, 0) => Ok(None),
            (false, _) => Err(Malformed),
        }
    }

    pub(crate) fn optional_small(&mut self) -> Result<Option<u32>, Malformed> {
        let small = |value| u32::try_from(value).map_err(|_| Malformed);
        self.optional()?.map(small).transpose()
    }

    pub(crate) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        // Each element takes at least eight bytes, so no count can make more room than its frame has.
        if count > LIST_MAX || count > self.0.len() / 8 {
            return Err(Malformed);
        }
        (0..count).map(|_| element(self)).collect()
    }

    /// Nothing may follow.
    pub(crate) const fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// The body of the first frame in `bytes`, and how many bytes it takes with its length; `None` while it is not whole.
///
/// # Errors
/// [`Malformed`] for a frame of more than [`FRAME_BYTES_MAX`].
pub(crate) fn first_frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Malformed)?;
    if length > FRAME_BYTES_MAX {
        return Err(Malformed);
    }
    Ok(rest.get(..length).map(|body| (body, length + 4)))
}
