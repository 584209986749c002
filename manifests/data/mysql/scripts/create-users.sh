#!/usr/bin/env bash
# The image's entry point runs this when the first member starts with an empty folder. It creates the users, each with
# only the privileges that it needs. The replicas get the users with their clone.
# shellcheck source-path=SCRIPTDIR source=member.sh
. "${SCRIPTS:-/scripts}/member.sh"

: "${MYSQL_ROOT_PASSWORD:?}" "${REPLICATION_PASSWORD:?}" "${BACKUP_PASSWORD:?}" "${MONITOR_PASSWORD:?}"
: "${EXPORTER_PASSWORD:?}" "${SHOP_PASSWORD:?}"

MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql --user=root --protocol=socket <<SQL
CREATE DATABASE IF NOT EXISTS shop;

-- Fetches the binary log (replicate.sh of the other members).
CREATE USER IF NOT EXISTS 'replication'@'%' IDENTIFIED BY $(quoted "$REPLICATION_PASSWORD");
GRANT REPLICATION SLAVE ON *.* TO 'replication'@'%';

-- Takes backups and sets up replication, from the same pod only (replicate.sh).
CREATE USER IF NOT EXISTS 'backup'@'127.0.0.1' IDENTIFIED BY $(quoted "$BACKUP_PASSWORD");
GRANT BACKUP_ADMIN, PROCESS, RELOAD, LOCK TABLES, REPLICATION CLIENT, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN
  ON *.* TO 'backup'@'127.0.0.1';
GRANT SELECT ON performance_schema.log_status TO 'backup'@'127.0.0.1';
GRANT SELECT ON performance_schema.keyring_component_status TO 'backup'@'127.0.0.1';
GRANT SELECT ON performance_schema.replication_group_members TO 'backup'@'127.0.0.1';

-- Reads the role of its own member, from the same pod only (label.sh).
CREATE USER IF NOT EXISTS 'monitor'@'127.0.0.1' IDENTIFIED BY $(quoted "$MONITOR_PASSWORD") WITH MAX_USER_CONNECTIONS 3;
GRANT REPLICATION CLIENT ON *.* TO 'monitor'@'127.0.0.1';

-- mysqld_exporter, which admission adds to the pod.
CREATE USER IF NOT EXISTS 'exporter'@'127.0.0.1' IDENTIFIED BY $(quoted "$EXPORTER_PASSWORD") WITH MAX_USER_CONNECTIONS 3;
GRANT PROCESS, REPLICATION CLIENT, SELECT ON *.* TO 'exporter'@'127.0.0.1';

-- The applications.
CREATE USER IF NOT EXISTS 'shop'@'%' IDENTIFIED BY $(quoted "$SHOP_PASSWORD");
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES ON shop.* TO 'shop'@'%';
SQL
