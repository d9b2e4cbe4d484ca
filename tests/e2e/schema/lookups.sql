create table {ks}_email_idx (
  email varchar(60) not null,
  keyspace_id varbinary(20),
  primary key (email)
);
create table {ks}_city_idx (
  city varchar(20) not null,
  keyspace_id varbinary(20) not null,
  primary key (city, keyspace_id)
);
create table {ks}_nick_idx (
  nick bigint unsigned not null,
  keyspace_id bigint unsigned not null,
  primary key (nick, keyspace_id)
);
