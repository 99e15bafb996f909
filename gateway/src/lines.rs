//! A body of lines, read as it comes: memory for one line, whatever the whole may be.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio_util::codec::{AnyDelimiterCodec, Decoder as _};

use crate::body;
use crate::problem::Problem;

/// The longest line, in bytes.
pub(crate) const LINE_MAX: usize = 64 * 1024;

/// The lines of a body.
pub(crate) struct Lines {
    body: Body,
    /// Bytes received and not returned yet.
    rest: BytesMut,
    /// Not `LinesCodec`: that one has a complaint of its own about what is no UTF-8.
    codec: AnyDelimiterCodec,
    number: u64,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(body: Body) -> Self {
        let codec = AnyDelimiterCodec::new_with_max_length(b"\n".into(), b"\n".into(), LINE_MAX);
        Self { body, rest: BytesMut::new(), codec, number: 0, ended: false }
    }

    /// The next line that is not blank, and its number, counted from 1; `None` at the end. The
    /// last line needs no end.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Problem> {
        while let Some(line) = self.line().await? {
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
        Ok(None)
    }

    async fn line(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let line = match self.ended {
                false => self.codec.decode(&mut self.rest),
                true => self.codec.decode_eof(&mut self.rest),
            };
            let line = line.map_err(|_too_long| self.too_long())?;
            if line.is_some() || self.ended {
                return Ok(line);
            }
            match body::next(&mut self.body).await? {
                Some(data) => self.rest.extend_from_slice(&data),
                None => self.ended = true,
            }
        }
    }

    fn too_long(&self) -> Problem {
        let detail = format!("a line may have at most {LINE_MAX} bytes");
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail);
        problem.in_line(self.number + 1)
    }

    /// The body, when nobody wants its lines any more.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn in_pieces(text: &[u8], length: usize) -> Lines {
        let pieces: Vec<_> =
            text.chunks(length).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        Lines::new(Body::from_stream(stream::iter(pieces)))
    }

    async fn read(mut lines: Lines) -> Vec<(u64, String)> {
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next().await.unwrap() {
            read.push((number, String::from_utf8(line.to_vec()).unwrap()));
        }
        read
    }

    #[tokio::test]
    async fn lines_are_the_same_however_the_body_is_cut() {
        let text = b"one\n\n two \r\n\nfive";
        for length in 1..=text.len() {
            let lines = read(in_pieces(text, length)).await;
            let expected = [(1, "one"), (3, " two \r"), (5, "five")];
            assert_eq!(lines, expected.map(|(n, line)| (n, line.to_owned())), "{length}");
        }
    }

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_named_before_it_ends() {
        let long = [b"short\n".as_slice(), &[b'x'; 2 * LINE_MAX]].concat();
        let mut lines = in_pieces(&long, 1000);
        assert!(lines.next().await.unwrap().is_some());
        let problem = lines.next().await.unwrap_err();
        assert_eq!(problem.code(), "body_too_large");
        assert!(format!("{problem:?}").contains("line 2"), "{problem:?}");
        assert!(lines.rest.len() < LINE_MAX + 2000);
        let exact = [&[b'x'; LINE_MAX], b"\n".as_slice()].concat();
        assert_eq!(read(in_pieces(&exact, 1000)).await.len(), 1);
    }
}
