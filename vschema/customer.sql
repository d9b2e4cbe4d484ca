-- Schema of the sharded keyspace `customer`: the same on every shard.
CREATE TABLE customer (
  customer_id bigint NOT NULL AUTO_INCREMENT,
  email varbinary(128),
  PRIMARY KEY (customer_id)
) ENGINE = InnoDB;

CREATE TABLE corder (
  order_id bigint NOT NULL AUTO_INCREMENT,
  customer_id bigint,
  sku varbinary(128),
  price bigint,
  PRIMARY KEY (order_id)
) ENGINE = InnoDB;
