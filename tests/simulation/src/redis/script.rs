//! The product's own scripts, run by Lua 5.1 as Redis does.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use mlua::{Lua, MultiValue, Table, Value as LuaValue};
use redis::Value;

use super::data::{Data, Refused, Text};

fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Nil => LuaValue::Boolean(false),
        Value::Int(number) => LuaValue::Number(*number as f64),
        Value::BulkString(text) => LuaValue::String(lua.create_string(text)?),
        Value::Okay => {
            let table = lua.create_table()?;
            table.set("ok", "OK")?;
            LuaValue::Table(table)
        }
        Value::Array(all) => {
            let table = lua.create_table()?;
            for value in all {
                table.push(to_lua(lua, value)?)?;
            }
            LuaValue::Table(table)
        }
        _ => return Err(mlua::Error::runtime("an answer that no script of ours asks for")),
    })
}

fn from_lua(value: &LuaValue) -> Value {
    match value {
        LuaValue::Boolean(true) => Value::Int(1),
        LuaValue::Integer(number) => Value::Int(*number),
        // Redis cuts off what is behind the point.
        LuaValue::Number(number) => Value::Int(*number as i64),
        LuaValue::String(text) => Value::BulkString(text.as_bytes().to_vec()),
        _ => Value::Nil,
    }
}

/// Runs it on a copy, which is what it all comes to: nothing is done between two of its commands, and all or none stays.
///
/// # Errors
/// What it stumbles over.
pub(super) fn run(
    source: &str,
    keys: &[Text],
    arguments: &[Text],
    data: &mut Data,
    now: u64,
    unix: u64,
) -> Result<Value, Refused> {
    let failed = |error: mlua::Error| format!("ERR {error}");
    let lua = Lua::new();
    let working = Rc::new(RefCell::new(data.clone()));
    let strings = |all: &[Text]| -> mlua::Result<Table> {
        let table = lua.create_table()?;
        for text in all {
            table.push(lua.create_string(text)?)?;
        }
        Ok(table)
    };
    let on = Rc::clone(&working);
    let call = move |lua: &Lua, arguments: MultiValue| {
        let text = |value: LuaValue| -> mlua::Result<Text> {
            let text = lua.coerce_string(value)?.ok_or_else(|| mlua::Error::runtime("an argument that is no string"))?;
            Ok(Arc::from(&*text.as_bytes()))
        };
        let command: Vec<Text> = arguments.into_iter().map(text).collect::<mlua::Result<_>>()?;
        let done = on.borrow_mut().run(&command, now, unix).map_err(mlua::Error::runtime)?;
        to_lua(lua, &done.unwrap_or(Value::Nil))
    };
    let outcome = (|| -> mlua::Result<Value> {
        let redis = lua.create_table()?;
        redis.set("call", lua.create_function(call)?)?;
        let globals = lua.globals();
        globals.set("redis", redis)?;
        globals.set("KEYS", strings(keys)?)?;
        globals.set("ARGV", strings(arguments)?)?;
        Ok(from_lua(&lua.load(source).eval::<LuaValue>()?))
    })();
    let outcome = outcome.map_err(failed)?;
    *data = working.borrow().clone();
    Ok(outcome)
}
