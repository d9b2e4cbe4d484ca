create table points (
  id bigint not null,
  x int,
  label varchar(40),
  primary key (id)
);
create table kinds (
  id bigint not null,
  tiny tinyint,
  tinyu tinyint unsigned,
  small smallint,
  medium mediumint,
  i int,
  iu int unsigned,
  big bigint,
  bigu bigint unsigned,
  dec2 decimal(10,2),
  dec0 decimal(20,0),
  decbig decimal(65,30),
  f float,
  d double,
  c char(12),
  v varchar(60),
  vbin varchar(60) collate utf8mb4_bin,
  lat varchar(60) character set latin1,
  vb varbinary(60),
  fixedb binary(6),
  txt text,
  blb blob,
  dt date,
  tm time(3),
  dtm datetime(6),
  ts timestamp null default null,
  y year,
  e enum('small','medium','large'),
  s set('a','b','c'),
  b bit(12),
  j json,
  primary key (id)
);
create table customer (
  customer_id bigint not null auto_increment,
  email varchar(128),
  region int,
  balance decimal(12,2),
  primary key (customer_id)
);
create table orders (
  order_id bigint not null auto_increment,
  customer_id bigint not null,
  sku varchar(32),
  price int,
  primary key (order_id),
  key (customer_id)
);
create table people (
  name varchar(64) not null,
  age int,
  city varchar(64),
  primary key (name)
);
create table loose (
  name varchar(64) not null,
  note varchar(64),
  primary key (name)
);
create table tokens (
  token varbinary(32) not null,
  n int,
  primary key (token)
);
create table numbered (
  n bigint unsigned not null,
  label varchar(20),
  primary key (n)
);
create table places (
  region int not null,
  id bigint not null,
  name varchar(40),
  primary key (region, id)
);
create table countries (
  code char(2) not null,
  title varchar(60),
  primary key (code)
);
create table a (
  id bigint not null,
  g int,
  v varchar(20),
  primary key (id)
);
create table b (
  a_id bigint not null,
  n int not null,
  amount decimal(10,2),
  code char(2),
  primary key (a_id, n)
);
create table c (
  a_id bigint not null,
  tag varchar(20) not null,
  primary key (a_id, tag)
);
create table uniq (
  id bigint not null,
  u int,
  w int default 7,
  t varchar(10) not null default 'none',
  primary key (id),
  unique key u_key (u)
);
create table large (
  id bigint not null,
  body longblob,
  note longtext,
  primary key (id)
);
create table members (
  id bigint not null,
  email varchar(60),
  name varchar(40),
  city varchar(20) default 'Rome',
  nick varchar(20),
  code bigint,
  age int,
  primary key (id),
  unique key email_key (email),
  unique key code_key (code),
  key (name)
);
create table badges (
  code bigint not null,
  label varchar(20) not null,
  primary key (code, label)
);
create table visits (
  id bigint not null,
  n int not null,
  email varchar(60),
  primary key (id, n)
);
create table name_idx (
  name varchar(40) not null,
  id bigint not null,
  keyspace_id varbinary(20),
  primary key (name, id)
);
create table code_idx (
  code bigint not null,
  keyspace_id bigint unsigned,
  primary key (code)
);
create table articles (
  id bigint not null,
  author bigint,
  title varchar(80),
  body text,
  primary key (id),
  fulltext key title_words (title),
  fulltext key words (title, body)
);
