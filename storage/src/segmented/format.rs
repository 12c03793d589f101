//! The bytes of the log: segment header, batch header, records.
//!
//! A segment is a file: a header page, then batches, then zeros or bytes of an earlier life. Checksums are seeded with
//! the segment's number and the position in it, so that bytes of an earlier life, or in the wrong place, never validate.
//! All numbers are little-endian. The format version stands in the segment header; a reader refuses a newer one.

use bytes::Bytes;
use ringhold_types::{
    ClusterId, ExecutorId, Incarnation, Lsn, MemberId, PartitionKey, PartitionNumber, ReplicaId,
    Term,
};

use super::{BatchNumber, Epoch, SegmentNumber};
use crate::{LogRecord, PartIndex, RecordKind};

/// Version of the format; grows with every change that an older reader would misread.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Segment headers take one page; writes are filled up with zeros to whole pages.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Bytes of a batch header.
pub(super) const BATCH_HEADER_BYTES: usize = 64;
/// Batches begin at multiples of this, so that looking for them costs little.
pub(super) const ALIGNMENT: usize = 8;
/// Bytes of a segment header that mean something.
const SEGMENT_HEADER_BYTES: usize = 80;
const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"rhlogseg");
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"rhba");

/// First page of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: SegmentNumber,
    pub(super) cluster: ClusterId,
    /// Bytes that the segment may have.
    pub(super) capacity: u64,
    /// Number of the first batch in it. All batches before were synced when it was written.
    pub(super) first_batch: BatchNumber,
    /// Oldest segment that was needed when it was written.
    pub(super) oldest: SegmentNumber,
    /// Epoch of its writer: no batch in it has a lower one.
    pub(super) epoch: Epoch,
    /// As [`BatchFlags::unlisted_cut`].
    pub(super) unlisted_cut: bool,
    pub(super) origin: Origin,
}

/// How a segment came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// The segment before it was full.
    #[default]
    Continued,
    /// It begins a new log.
    Created,
    /// It begins a log that was thrown away after damage.
    StartedOver,
}

/// Why a segment header was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It does not validate.
    Damaged,
    /// It validates and has another version.
    Version(u32),
}

impl SegmentHeader {
    /// The header as a page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES as usize);
        page.extend_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        page.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(&self.number.0.to_le_bytes());
        page.extend_from_slice(&self.cluster.0.to_le_bytes());
        page.extend_from_slice(&self.capacity.to_le_bytes());
        page.extend_from_slice(&self.first_batch.0.to_le_bytes());
        page.extend_from_slice(&self.oldest.0.to_le_bytes());
        page.extend_from_slice(&self.epoch.0.to_le_bytes());
        let origin = match self.origin {
            Origin::Continued => 0,
            Origin::Created => 2,
            Origin::StartedOver => 4,
        };
        page.extend_from_slice(&(u64::from(self.unlisted_cut) | origin).to_le_bytes());
        let checksum = checksum(self.number, 0, &page);
        page[12..16].copy_from_slice(&checksum.to_le_bytes());
        page.resize(PAGE_BYTES as usize, 0);
        page
    }

    /// Reads the header of the segment that the file's name says this is.
    pub(super) fn decode(number: SegmentNumber, bytes: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = bytes
            .get(..SEGMENT_HEADER_BYTES)
            .ok_or(HeaderFault::Damaged)?;
        let stored = u32_at(bytes, 12);
        let mut covered = bytes.to_vec();
        covered[12..16].fill(0);
        let valid = u64_at(bytes, 0) == SEGMENT_MAGIC && checksum(number, 0, &covered) == stored;
        let version = u32_at(bytes, 8);
        if !valid {
            return Err(HeaderFault::Damaged);
        }
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Version(version));
        }
        let cluster = u128::from(u64_at(bytes, 24)) | u128::from(u64_at(bytes, 32)) << 64;
        Ok(Self {
            number: SegmentNumber(u64_at(bytes, 16)),
            cluster: ClusterId(cluster),
            capacity: u64_at(bytes, 40),
            first_batch: BatchNumber(u64_at(bytes, 48)),
            oldest: SegmentNumber(u64_at(bytes, 56)),
            epoch: Epoch(u64_at(bytes, 64)),
            unlisted_cut: u64_at(bytes, 72) & 1 != 0,
            origin: match u64_at(bytes, 72) & 6 {
                0 => Origin::Continued,
                2 => Origin::Created,
                _ => Origin::StartedOver,
            },
        })
    }
}

/// What a batch says besides its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchFlags {
    /// An unreadable tail was cut here: every replica known so far carries a mark.
    pub(super) cut_here: bool,
    /// Replicas that are not in the log may have been cut too, and nobody settled that yet.
    pub(super) unlisted_cut: bool,
}

/// Header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// Consecutive over the whole log.
    pub(super) number: BatchNumber,
    /// Grows with every opening, so that a batch which survived a cut never joins what is written after it.
    pub(super) epoch: Epoch,
    /// Every batch up to this one was synced when this one was written (PROTOCOL §5).
    pub(super) synced: BatchNumber,
    /// Oldest segment that was needed, as of `synced`.
    pub(super) oldest: SegmentNumber,
    pub(super) flags: BatchFlags,
    /// Records in the body.
    pub(super) records: u32,
    /// Bytes of the body, a multiple of [`ALIGNMENT`].
    pub(super) body_bytes: u32,
    body_checksum: u32,
}

impl BatchHeader {
    /// A header for a body that [`encode_batch`] completes.
    pub(super) const fn new(
        number: BatchNumber,
        epoch: Epoch,
        synced: BatchNumber,
        oldest: SegmentNumber,
        flags: BatchFlags,
        records: u32,
    ) -> Self {
        Self {
            number,
            epoch,
            synced,
            oldest,
            flags,
            records,
            body_bytes: 0,
            body_checksum: 0,
        }
    }

    /// Reads the header at a position; `None` if none validates there.
    pub(super) fn decode(segment: SegmentNumber, bytes: &[u8], offset: usize) -> Option<Self> {
        let header = bytes.get(offset..offset + BATCH_HEADER_BYTES)?;
        if u32_at(header, 0) != BATCH_MAGIC
            || u32_at(header, 4) != checksum(segment, offset as u64, &header[8..])
        {
            return None;
        }
        let flags = u32_at(header, 48);
        Some(Self {
            body_checksum: u32_at(header, 8),
            body_bytes: u32_at(header, 12),
            number: BatchNumber(u64_at(header, 16)),
            epoch: Epoch(u64_at(header, 24)),
            synced: BatchNumber(u64_at(header, 32)),
            oldest: SegmentNumber(u64_at(header, 40)),
            flags: BatchFlags {
                cut_here: flags & 1 != 0,
                unlisted_cut: flags & 2 != 0,
            },
            records: u32_at(header, 52),
        })
    }

    /// The body that follows the header at `offset`, if it is there and validates.
    pub(super) fn body<'a>(
        &self,
        segment: SegmentNumber,
        bytes: &'a [u8],
        offset: usize,
    ) -> Option<&'a [u8]> {
        let start = offset + BATCH_HEADER_BYTES;
        let length = usize::try_from(self.body_bytes).ok()?;
        let body = bytes.get(start..start.checked_add(length)?)?;
        (checksum(segment, start as u64, body) == self.body_checksum).then_some(body)
    }

    /// Bytes from the header's start to the next batch's.
    pub(super) const fn total_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.body_bytes as usize
    }
}

/// Puts header and records together for a position in a segment.
pub(super) fn encode_batch(
    mut header: BatchHeader,
    segment: SegmentNumber,
    offset: u64,
    records: &[u8],
    output: &mut Vec<u8>,
) {
    output.clear();
    output.resize(BATCH_HEADER_BYTES, 0);
    output.extend_from_slice(records);
    output.resize(output.len().next_multiple_of(ALIGNMENT), 0);
    let body = &output[BATCH_HEADER_BYTES..];
    header.body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    header.body_checksum = checksum(segment, offset + BATCH_HEADER_BYTES as u64, body);
    let flags = u32::from(header.flags.cut_here) | u32::from(header.flags.unlisted_cut) << 1;
    output[0..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
    output[8..12].copy_from_slice(&header.body_checksum.to_le_bytes());
    output[12..16].copy_from_slice(&header.body_bytes.to_le_bytes());
    output[16..24].copy_from_slice(&header.number.0.to_le_bytes());
    output[24..32].copy_from_slice(&header.epoch.0.to_le_bytes());
    output[32..40].copy_from_slice(&header.synced.0.to_le_bytes());
    output[40..48].copy_from_slice(&header.oldest.0.to_le_bytes());
    output[48..52].copy_from_slice(&flags.to_le_bytes());
    output[52..56].copy_from_slice(&header.records.to_le_bytes());
    let checksum = checksum(segment, offset, &output[8..BATCH_HEADER_BYTES]);
    output[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Appends a record. `commit` is the highest one known of its replica by now, `marked` carries its cut mark with a state:
/// so that older records may go.
pub(super) fn encode_record(record: &LogRecord, commit: Lsn, marked: bool, output: &mut Vec<u8>) {
    let kind = match record.kind {
        RecordKind::Entry => 1,
        RecordKind::State => 2,
        RecordKind::Reset => 3,
        RecordKind::CutMark => 4,
        RecordKind::CutMarkCleared => 5,
        RecordKind::Forgotten => 6,
        RecordKind::Copied => 7,
    };
    output.push(kind);
    output.push(u8::from(record.installed) | u8::from(marked) << 1);
    output.extend_from_slice(&record.replica.member.0.to_le_bytes());
    push_varint(output, u64::from(record.partition.executor.0));
    push_varint(output, u64::from(record.partition.partition.0));
    push_varint(output, record.replica.incarnation.0);
    push_varint(output, record.term.0);
    push_varint(output, record.lsn.0);
    push_varint(output, commit.0);
    if record.kind == RecordKind::Copied {
        push_varint(output, record.end.0);
    }
    if record.kind == RecordKind::State {
        push_varint(output, u64::from(record.part.index));
        push_varint(output, u64::from(record.part.count));
    }
    push_varint(output, record.payload.len() as u64);
    output.extend_from_slice(&record.payload);
}

/// Why the records of a batch that validates cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordFault {
    /// It does not decode.
    Malformed,
    /// A kind that this version does not know; a newer one wrote it.
    UnknownKind(u8),
}

/// Reads the next record off the front of `body`.
pub(super) fn decode_record(body: &mut &[u8]) -> Result<(LogRecord, bool), RecordFault> {
    let fields = &mut Fields(body);
    let kind = match fields.byte()? {
        1 => RecordKind::Entry,
        2 => RecordKind::State,
        3 => RecordKind::Reset,
        4 => RecordKind::CutMark,
        5 => RecordKind::CutMarkCleared,
        6 => RecordKind::Forgotten,
        7 => RecordKind::Copied,
        unknown => return Err(RecordFault::UnknownKind(unknown)),
    };
    let flags = fields.byte()?;
    let member = MemberId(u64_at(fields.take(8)?, 0));
    let partition = PartitionKey {
        executor: ExecutorId(fields.varint32()?),
        partition: PartitionNumber(fields.varint32()?),
    };
    let incarnation = Incarnation(fields.varint()?);
    let mut record = LogRecord::bare(
        kind,
        partition,
        ReplicaId {
            member,
            incarnation,
        },
    );
    record.installed = flags & 1 != 0;
    record.term = Term(fields.varint()?);
    record.lsn = Lsn(fields.varint()?);
    record.commit = Lsn(fields.varint()?);
    if kind == RecordKind::Copied {
        record.end = Lsn(fields.varint()?);
    }
    if kind == RecordKind::State {
        record.part = PartIndex {
            index: fields.varint32()?,
            count: fields.varint32()?,
        };
    }
    let length = usize::try_from(fields.varint()?).map_err(|_| RecordFault::Malformed)?;
    record.payload = Bytes::copy_from_slice(fields.take(length)?);
    Ok((record, flags & 2 != 0))
}

/// Appends a number in groups of seven bits, lowest first.
pub(super) fn push_varint(output: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        output.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    output.push(number as u8);
}

/// Reads fields off the front of a slice.
pub(super) struct Fields<'a, 'b>(pub(super) &'a mut &'b [u8]);

impl<'b> Fields<'_, 'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], RecordFault> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(RecordFault::Malformed)?;
        *self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, RecordFault> {
        Ok(self.take(1)?[0])
    }

    /// Eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, RecordFault> {
        Ok(u64_at(self.take(8)?, 0))
    }

    /// A number as [`push_varint`] writes it.
    pub(super) fn varint(&mut self) -> Result<u64, RecordFault> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(RecordFault::Malformed)
    }

    /// Such a number of at most 32 bits.
    pub(super) fn varint32(&mut self) -> Result<u32, RecordFault> {
        u32::try_from(self.varint()?).map_err(|_| RecordFault::Malformed)
    }
}

/// The checksum of bytes at a place: the same bytes elsewhere have another one.
pub(super) fn checksum(segment: SegmentNumber, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.0.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// The number at `offset`; the caller has checked that it is there.
fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(number)
}

/// The number at `offset`; the caller has checked that it is there.
fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentNumber = SegmentNumber(7);

    fn batch(at: u64) -> Vec<u8> {
        let header = BatchHeader::new(
            BatchNumber(9),
            Epoch(2),
            BatchNumber(8),
            SegmentNumber(3),
            BatchFlags::default(),
            1,
        );
        let record = LogRecord::entry(
            PartitionKey::default(),
            ReplicaId::default(),
            Term(1),
            Lsn(u64::MAX),
            Lsn(300),
            Bytes::from_static(b"payload"),
        );
        let mut records = Vec::new();
        encode_record(&record, record.commit, true, &mut records);
        let mut output = Vec::new();
        encode_batch(header, SEGMENT, at, &records, &mut output);
        let mut file = vec![0; at as usize];
        file.extend(output);
        file
    }

    #[test]
    fn a_batch_reads_back_what_was_written_at_its_place_only() {
        let file = batch(64);
        let header = BatchHeader::decode(SEGMENT, &file, 64).expect("valid");
        let mut body = header.body(SEGMENT, &file, 64).expect("valid");
        let (record, marked) = decode_record(&mut body).expect("valid");
        assert_eq!(
            (record.lsn, record.commit, marked),
            (Lsn(u64::MAX), Lsn(300), true)
        );
        assert_eq!(record.payload, Bytes::from_static(b"payload"));
        assert_eq!(BatchHeader::decode(SegmentNumber(8), &file, 64), None);
        assert_eq!(BatchHeader::decode(SEGMENT, &file[8..], 56), None);
        assert_eq!(header.body(SegmentNumber(8), &file, 64), None);
    }

    /// Stored by the first version that had it, and readable for ever; the other kinds stand in the golden files.
    #[test]
    fn a_copied_entry_has_the_bytes_it_always_had() {
        let mut record = LogRecord::entry(
            PartitionKey::default(),
            ReplicaId::default(),
            Term(2),
            Lsn(300),
            Lsn(1),
            Bytes::from_static(b"x"),
        );
        record.kind = RecordKind::Copied;
        record.end = Lsn(301);
        let mut written = Vec::new();
        encode_record(&record, record.commit, false, &mut written);
        let kind_to_incarnation = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let term_to_payload = [2, 0xac, 2, 1, 0xad, 2, 1, b'x'];
        assert_eq!(
            written,
            [&kind_to_incarnation[..], &term_to_payload].concat()
        );
        assert_eq!(decode_record(&mut &written[..]), Ok((record, false)));
    }

    #[test]
    fn a_record_cut_anywhere_is_malformed_and_never_panics() {
        let file = batch(0);
        let end = file.len();
        for cut in BATCH_HEADER_BYTES..end {
            let mut body = &file[BATCH_HEADER_BYTES..cut];
            let read = decode_record(&mut body);
            let whole = cut >= end - ALIGNMENT && read.is_ok();
            assert!(
                whole || read == Err(RecordFault::Malformed),
                "cut at {cut}: {read:?}"
            );
        }
    }

    #[test]
    fn a_segment_header_refuses_another_number_and_names_another_version() {
        let header = SegmentHeader {
            number: SEGMENT,
            cluster: ClusterId(5 << 70),
            capacity: 1 << 20,
            first_batch: BatchNumber(4),
            oldest: SegmentNumber(2),
            epoch: Epoch(3),
            unlisted_cut: true,
            origin: Origin::StartedOver,
        };
        let mut page = header.encode();
        assert_eq!(SegmentHeader::decode(SEGMENT, &page), Ok(header));
        let other = SegmentHeader::decode(SegmentNumber(8), &page);
        assert_eq!(other, Err(HeaderFault::Damaged));
        page[8] = 9;
        page[12..16].fill(0);
        let checksum = checksum(SEGMENT, 0, &page[..SEGMENT_HEADER_BYTES]);
        page[12..16].copy_from_slice(&checksum.to_le_bytes());
        let newer = SegmentHeader::decode(SEGMENT, &page);
        assert_eq!(newer, Err(HeaderFault::Version(9)));
    }
}
