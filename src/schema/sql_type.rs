//! From SQL's names of types to those of VSchemas.

use crate::vschema::ColumnType;

/// The type of a column by its bare name (`int`) and whole type (`int(10) unsigned`), as
/// `information_schema.columns` has them; `Unspecified` for types that VSchemas have no name for.
pub fn column_type(data_type: &str, sql_type: &str) -> ColumnType {
    use ColumnType as T;
    let is_unsigned = sql_type.split(' ').any(|word| word.eq_ignore_ascii_case("unsigned"));
    let sign = |signed, unsigned| if is_unsigned { unsigned } else { signed };
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" => sign(T::Int8, T::UInt8),
        "smallint" => sign(T::Int16, T::UInt16),
        "mediumint" => sign(T::Int24, T::UInt24),
        "int" => sign(T::Int32, T::UInt32),
        "bigint" => sign(T::Int64, T::UInt64),
        "float" => T::Float32,
        "double" => T::Float64,
        "decimal" => T::Decimal,
        "timestamp" => T::Timestamp,
        "date" => T::Date,
        "time" => T::Time,
        "datetime" => T::DateTime,
        "year" => T::Year,
        "char" => T::Char,
        "varchar" => T::VarChar,
        "tinytext" | "text" | "mediumtext" | "longtext" => T::Text,
        "binary" => T::Binary,
        "varbinary" => T::VarBinary,
        "tinyblob" | "blob" | "mediumblob" | "longblob" => T::Blob,
        "bit" => T::Bit,
        "enum" => T::Enum,
        "set" => T::Set,
        "json" => T::Json,
        "vector" => T::Vector,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => T::Geometry,
        _ => T::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_count_and_members_do_not() {
        let check = |data_type, sql_type, expected| {
            assert_eq!(column_type(data_type, sql_type), expected, "{sql_type}");
        };
        check("int", "int(10) unsigned", ColumnType::UInt32);
        check("int", "int(11)", ColumnType::Int32);
        check("bigint", "bigint unsigned zerofill", ColumnType::UInt64);
        check("enum", "enum('a unsigned b')", ColumnType::Enum);
        check("longtext", "longtext", ColumnType::Text);
        check("geomcollection", "geomcollection", ColumnType::Geometry);
        check("inet6", "inet6", ColumnType::Unspecified);
    }
}
