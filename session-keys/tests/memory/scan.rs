//! Looks for a key in another process, whole or in parts of eight bytes: as bytes in either order, and as hex.

use std::{fs::File, os::unix::fs::FileExt};

use alloy::{hex, primitives::B256};

/// Where parts of the key are: address, what it is, and the mapping it is in.
pub(crate) fn found(process: u32, secret: &B256) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let patterns = patterns(secret);
    let mut begins = [false; 256];
    patterns.iter().for_each(|(pattern, _)| begins[usize::from(pattern[0])] = true);
    let (mut hits, mut scanned) = (Vec::new(), 0);
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        let name = fields.nth(3).unwrap_or("anonymous");
        // What cannot be written to holds no copy; the kernel's own pages cannot be read.
        if !rights.starts_with("rw") || name.starts_with("[v") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; (end - start) as usize];
        memory.read_exact_at(&mut bytes, start).unwrap();
        scanned += bytes.len();
        let candidates = bytes.windows(8).enumerate().filter(|(_, window)| begins[usize::from(window[0])]);
        for (at, window) in candidates {
            if let Some((_, what)) = patterns.iter().find(|(pattern, _)| pattern == window) {
                hits.push(format!("{:#x}: {what} ({name})", start + at as u64));
            }
        }
    }
    assert!(scanned > 100_000, "the process was not read");
    hits
}

/// Any eight bytes that stand at a word of the key, or of its hex.
fn patterns(secret: &B256) -> Vec<([u8; 8], String)> {
    let mut reversed = secret.0;
    reversed.reverse();
    let texts = [hex::encode(secret), hex::encode_upper(secret)].map(String::into_bytes);
    let forms = [("bytes", secret.0.to_vec()), ("limbs", reversed.to_vec())]
        .into_iter()
        .chain(texts.into_iter().map(|text| ("hex", text)));
    let words = forms.flat_map(|(name, form)| {
        let words = form.chunks_exact(8).map(|word| <[u8; 8]>::try_from(word).unwrap());
        words.enumerate().map(|(index, word)| (word, format!("{name}, word {index}"))).collect::<Vec<_>>()
    });
    words.collect()
}
