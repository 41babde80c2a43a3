//! What a Redis holds, and what the commands that are sent to it do. As in Redis 7, as far as they are used.

use std::{collections::BTreeMap, sync::Arc};

use redis::Value;

/// Bytes.
pub(super) type Text = Arc<[u8]>;

/// What a key holds.
#[derive(Clone, Debug)]
enum Holds {
    Text(Text),
    Hash(BTreeMap<Text, Text>),
    List(Vec<Text>),
    /// Entries by id, and the last id that was ever given.
    Stream(BTreeMap<(u64, u64), Vec<Text>>, (u64, u64)),
}

#[derive(Clone, Debug)]
struct Key {
    holds: Arc<Holds>,
    /// Milliseconds of the world at which it is gone.
    until: Option<u64>,
}

/// All keys. To copy them costs little.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    keys: BTreeMap<Text, Key>,
}

/// What a server says when it does not do as it is told.
pub(super) type Refused = String;

fn wrong_type() -> Refused {
    "WRONGTYPE Operation against a key holding the wrong kind of value".into()
}

fn number(text: &[u8]) -> Result<u64, Refused> {
    let text = std::str::from_utf8(text).map_err(|_| "ERR value is not an integer or out of range")?;
    text.parse().map_err(|_| "ERR value is not an integer or out of range".into())
}

fn bulk(text: &[u8]) -> Value {
    Value::BulkString(text.to_vec())
}

fn id_text((millis, number): (u64, u64)) -> Vec<u8> {
    format!("{millis}-{number}").into_bytes()
}

/// `MS-N`, or `MS` with this number.
fn id(text: &[u8], number_if_none: u64) -> Result<(u64, u64), Refused> {
    let text = String::from_utf8_lossy(text);
    match text.split_once('-') {
        Some((millis, rest)) => Ok((number(millis.as_bytes())?, number(rest.as_bytes())?)),
        None => Ok((number(text.as_bytes())?, number_if_none)),
    }
}

impl Data {
    fn get(&mut self, key: &[u8], now: u64) -> Option<&Holds> {
        let gone = self.keys.get(key).is_some_and(|key| key.until.is_some_and(|until| until <= now));
        if gone {
            self.keys.remove(key);
        }
        self.keys.get(key).map(|key| &*key.holds)
    }

    fn of(&mut self, key: &[u8], now: u64, new: fn() -> Holds) -> &mut Holds {
        self.get(key, now);
        let entry = self.keys.entry(key.into()).or_insert_with(|| Key { holds: Arc::new(new()), until: None });
        Arc::make_mut(&mut entry.holds)
    }

    /// Does one command at this time (milliseconds of the world; `unix` of 1970). `None` if it waits for more.
    ///
    /// # Errors
    /// As Redis says it.
    pub(super) fn run(&mut self, command: &[Text], now: u64, unix: u64) -> Result<Option<Value>, Refused> {
        let argument = |index: usize| {
            command.get(index).map(|it| &**it).ok_or_else(|| Refused::from("ERR wrong number of arguments"))
        };
        let name = String::from_utf8_lossy(argument(0)?).to_uppercase();
        let is =
            |index: usize, word: &str| command.get(index).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
        let done = match name.as_str() {
            "GET" => match self.get(argument(1)?, now) {
                None => Value::Nil,
                Some(Holds::Text(text)) => bulk(text),
                Some(_) => return Err(wrong_type()),
            },
            "SET" => {
                let (key, value) = (argument(1)?, Arc::clone(&command[2]));
                if is(3, "NX") && self.get(key, now).is_some() {
                    return Ok(Some(Value::Nil));
                }
                let until = if is(3, "PX") { Some(now + number(argument(4)?)?) } else { None };
                self.keys.insert(key.into(), Key { holds: Arc::new(Holds::Text(value)), until });
                Value::Okay
            }
            "EXISTS" => Value::Int(self.get(argument(1)?, now).is_some().into()),
            "INCR" => {
                let before = match self.get(argument(1)?, now) {
                    None => 0,
                    Some(Holds::Text(text)) => number(text)?,
                    Some(_) => return Err(wrong_type()),
                };
                let after = (before + 1).to_string();
                *self.of(argument(1)?, now, || Holds::Text(Arc::from([]))) = Holds::Text(after.into_bytes().into());
                Value::Int(i64::try_from(before + 1).unwrap_or(i64::MAX))
            }
            "DEL" => Value::Int(self.keys.remove(argument(1)?).is_some().into()),
            "PEXPIRE" => {
                let (key, until) = (argument(1)?, now + number(argument(2)?)?);
                let there = self.get(key, now).is_some();
                if let Some(key) = self.keys.get_mut(key) {
                    key.until = Some(until);
                }
                Value::Int(there.into())
            }
            "HSET" => {
                let Holds::Hash(hash) = self.of(argument(1)?, now, || Holds::Hash(BTreeMap::new())) else {
                    return Err(wrong_type());
                };
                let mut new = 0;
                for pair in command[2..].chunks_exact(2) {
                    new += i64::from(hash.insert(Arc::clone(&pair[0]), Arc::clone(&pair[1])).is_none());
                }
                Value::Int(new)
            }
            "HDEL" => {
                let Holds::Hash(hash) = self.of(argument(1)?, now, || Holds::Hash(BTreeMap::new())) else {
                    return Err(wrong_type());
                };
                let gone = command[2..].iter().filter(|field| hash.remove(&***field).is_some()).count();
                Value::Int(gone as i64)
            }
            "HGETALL" => match self.get(argument(1)?, now) {
                None => Value::Map(Vec::new()),
                Some(Holds::Hash(hash)) => {
                    Value::Map(hash.iter().map(|(key, value)| (bulk(key), bulk(value))).collect())
                }
                Some(_) => return Err(wrong_type()),
            },
            "RPUSH" => {
                let Holds::List(list) = self.of(argument(1)?, now, || Holds::List(Vec::new())) else {
                    return Err(wrong_type());
                };
                list.extend(command[2..].iter().cloned());
                Value::Int(list.len() as i64)
            }
            // timeout numkeys key LEFT COUNT n
            "BLMPOP" => {
                let (key, count) = (argument(3)?, number(argument(6)?)?);
                match self.get(key, now) {
                    None => return Ok(None),
                    Some(Holds::List(_)) => {}
                    Some(_) => return Err(wrong_type()),
                }
                let Holds::List(list) = self.of(key, now, || Holds::List(Vec::new())) else { return Err(wrong_type()) };
                let taken: Vec<Value> = list.drain(..list.len().min(count as usize)).map(|text| bulk(&text)).collect();
                if list.is_empty() {
                    self.keys.remove(key);
                }
                Value::Array(vec![bulk(key), Value::Array(taken)])
            }
            "XLEN" => match self.get(argument(1)?, now) {
                None => Value::Int(0),
                Some(Holds::Stream(entries, _)) => Value::Int(entries.len() as i64),
                Some(_) => return Err(wrong_type()),
            },
            // key * field value …
            "XADD" => {
                let new = || Holds::Stream(BTreeMap::new(), (0, 0));
                let Holds::Stream(entries, last) = self.of(argument(1)?, now, new) else { return Err(wrong_type()) };
                let next = if unix > last.0 { (unix, 0) } else { (last.0, last.1 + 1) };
                *last = next;
                entries.insert(next, command[3..].to_vec());
                Value::BulkString(id_text(next))
            }
            // key MINID id
            "XTRIM" => {
                let least = id(argument(3)?, 0)?;
                if self.get(argument(1)?, now).is_none() {
                    return Ok(Some(Value::Int(0)));
                }
                let new = || Holds::Stream(BTreeMap::new(), (0, 0));
                let Holds::Stream(entries, _) = self.of(argument(1)?, now, new) else { return Err(wrong_type()) };
                let kept = entries.split_off(&least);
                let gone = std::mem::replace(entries, kept).len();
                Value::Int(gone as i64)
            }
            // COUNT n BLOCK ms STREAMS key id
            "XREAD" => {
                let (count, key, after) = (number(argument(2)?)?, argument(6)?, id(argument(7)?, u64::MAX)?);
                // Everything from the beginning.
                let after = if argument(7)? == b"0" { (0, 0) } else { after };
                let Some(Holds::Stream(entries, _)) = self.get(key, now) else { return Ok(None) };
                let entry = |(id, fields): (&(u64, u64), &Vec<Text>)| {
                    let fields = fields.iter().map(|field| bulk(field)).collect();
                    Value::Array(vec![Value::BulkString(id_text(*id)), Value::Array(fields)])
                };
                let newer = entries.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                let newer: Vec<Value> = newer.take(count as usize).map(entry).collect();
                if newer.is_empty() {
                    return Ok(None);
                }
                Value::Array(vec![Value::Array(vec![bulk(key), Value::Array(newer)])])
            }
            "TIME" => {
                let text = |number: u64| Value::BulkString(number.to_string().into_bytes());
                Value::Array(vec![text(unix / 1_000), text(unix % 1_000 * 1_000)])
            }
            "CONFIG" => Value::Map(vec![(bulk(b"appendonly"), bulk(b"yes")), (bulk(b"appendfsync"), bulk(b"always"))]),
            _ => return Err(format!("ERR unknown command '{name}'")),
        };
        Ok(Some(done))
    }

    /// Whether a hash of a journal has these bytes in it.
    pub(super) fn has(&self, bytes: &[u8]) -> bool {
        let journals = self.keys.iter().filter(|(key, _)| key.ends_with(b":journal"));
        journals.filter_map(|(_, key)| if let Holds::Hash(hash) = &*key.holds { Some(hash) } else { None }).any(
            |hash| {
                hash.iter().any(|(key, value)| {
                    memchr::memmem::find(key, bytes).is_some() || memchr::memmem::find(value, bytes).is_some()
                })
            },
        )
    }

    /// Bytes that it takes, roughly.
    pub(super) fn size(&self) -> usize {
        let of = |key: &Key| match &*key.holds {
            Holds::Text(text) => text.len(),
            Holds::Hash(hash) => hash.iter().map(|(key, value)| key.len() + value.len()).sum(),
            Holds::List(list) => list.iter().map(|text| text.len()).sum(),
            Holds::Stream(entries, _) => entries.values().flatten().map(|text| text.len()).sum(),
        };
        self.keys.values().map(of).sum()
    }
}
