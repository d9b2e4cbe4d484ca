create table warehouse (w_id int not null, w_name varchar(10), w_tax decimal(4,4), w_ytd decimal(12,2), primary key (w_id));
create table district (d_w_id int not null, d_id int not null, d_name varchar(10), d_tax decimal(4,4), d_ytd decimal(12,2), d_next_o_id int, primary key (d_w_id, d_id));
create table customer (c_w_id int not null, c_d_id int not null, c_id int not null, c_first varchar(16), c_last varchar(16), c_credit char(2), c_discount decimal(4,4), c_balance decimal(12,2), c_ytd_payment decimal(12,2), c_payment_cnt int, c_delivery_cnt int, c_data varchar(200), primary key (c_w_id, c_d_id, c_id), key (c_w_id, c_d_id, c_last, c_first));
create table history (h_w_id int not null, h_c_w_id int, h_c_d_id int, h_c_id int, h_d_id int, h_date datetime, h_amount decimal(6,2), h_data varchar(24));
create table new_orders (no_w_id int not null, no_d_id int not null, no_o_id int not null, primary key (no_w_id, no_d_id, no_o_id));
create table orders (o_w_id int not null, o_d_id int not null, o_id int not null, o_c_id int, o_entry_d datetime, o_carrier_id int, o_ol_cnt int, o_all_local int, primary key (o_w_id, o_d_id, o_id), key (o_w_id, o_d_id, o_c_id, o_id));
create table order_line (ol_w_id int not null, ol_d_id int not null, ol_o_id int not null, ol_number int not null, ol_i_id int, ol_supply_w_id int, ol_delivery_d datetime, ol_quantity int, ol_amount decimal(6,2), ol_dist_info char(24), primary key (ol_w_id, ol_d_id, ol_o_id, ol_number));
create table item (i_id int not null, i_name varchar(24), i_price decimal(5,2), i_data varchar(50), primary key (i_id));
create table stock (s_w_id int not null, s_i_id int not null, s_quantity int, s_dist char(24), s_ytd int, s_order_cnt int, s_remote_cnt int, s_data varchar(50), primary key (s_w_id, s_i_id));
