-- Schema of the unsharded keyspace `commerce`.
CREATE TABLE product (
  sku varbinary(128),
  description varbinary(128),
  price bigint,
  PRIMARY KEY (sku)
) ENGINE = InnoDB;

-- Sequences hand out the numbers that AUTO_INCREMENT gives on a single server: `next_id` is the first number
-- that nobody has, and `cache` how many a router reserves at a time.
CREATE TABLE customer_seq (
  id int,
  next_id bigint,
  cache bigint,
  PRIMARY KEY (id)
) ENGINE = InnoDB COMMENT 'vitess_sequence';

CREATE TABLE order_seq (
  id int,
  next_id bigint,
  cache bigint,
  PRIMARY KEY (id)
) ENGINE = InnoDB COMMENT 'vitess_sequence';
