# `regent check` on real servers: nothing to complain of at first, then what would
# keep a failover from working, each with its fix, before it is needed.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $c = RegentCluster->new(nodes => 2);
$c->up;

my ($rc, $out, $err) = $c->regent('check');
is($rc, 0, 'a healthy cluster') or diag("$out$err");

# a standby that never says what it has flushed counts for no commit and no lease (attack F11)
$c->sql('n2', "ALTER SYSTEM SET wal_receiver_status_interval = 0");
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_receiver_status_interval') eq '0' }, 10, 'wal_receiver_status_interval = 0');
($rc, $out, $err) = $c->regent('check');
is($rc, 1, 'a standby that reports no flushes');
like($out . $err, qr/n2.*wal_receiver_status_interval.*never says what it has flushed/s, 'is named');
$c->sql('n2', 'ALTER SYSTEM RESET wal_receiver_status_interval');
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_receiver_status_interval') eq '1s' }, 10, 'the old value');

# what only costs time is a warning
$c->sql('n2', 'ALTER SYSTEM SET wal_retrieve_retry_interval = 30000');
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_retrieve_retry_interval') eq '30s' }, 10, 'wal_retrieve_retry_interval = 30s');
($rc, $out, $err) = $c->regent('check');
is($rc, 0, 'a standby that sleeps long: a warning only');
like($out . $err, qr/n2.*wal_retrieve_retry_interval.*may sleep so long/s, 'is named');
done_testing();
