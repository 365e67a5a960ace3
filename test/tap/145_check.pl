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
like($out, qr/^ok +n2 +it can replicate from n1, and be rewound from there/m, 'each node reaches the others as the replication user');

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

# pg_rewind logs in to a database, which is another line in pg_hba.conf than replication
my $hba = RegentCluster::slurp($c->node('n1')->{dir} . '/pg_hba.conf');
RegentCluster::spew($c->node('n1')->{dir} . '/pg_hba.conf', "host postgres regent_replication 0.0.0.0/0 reject\n$hba");
$c->sql('n1', 'SELECT pg_reload_conf()');
wait_until(sub { ($rc, $out, $err) = $c->regent('check'); $out =~ /warning +n2 +it could not be rewound/ }, 20, 'a warning');
is($rc, 0, 'no rewind, only copies: a warning');
like($out, qr/n2 +it could not be rewound from n1, only copied: .*fix: pg_hba\.conf of every node: host postgres regent_replication/, 'with the fix');
RegentCluster::spew($c->node('n1')->{dir} . '/pg_hba.conf', "host replication regent_replication 0.0.0.0/0 reject\n$hba");
$c->sql('n1', 'SELECT pg_reload_conf()');
wait_until(sub { ($rc, $out, $err) = $c->regent('check'); $out =~ /FAILED +n2 +it could not replicate from n1/ }, 20, 'a failure');
is($rc, 1, 'neither: that fails');
RegentCluster::spew($c->node('n1')->{dir} . '/pg_hba.conf', $hba);
$c->sql('n1', 'SELECT pg_reload_conf()');

# what only costs time is a warning
$c->sql('n2', 'ALTER SYSTEM SET wal_retrieve_retry_interval = 30000');
$c->sql('n2', 'SELECT pg_reload_conf()');
wait_until(sub { $c->sql('n2', 'SHOW wal_retrieve_retry_interval') eq '30s' }, 10, 'wal_retrieve_retry_interval = 30s');
($rc, $out, $err) = $c->regent('check');
is($rc, 0, 'a standby that sleeps long: a warning only');
like($out . $err, qr/n2.*wal_retrieve_retry_interval.*may sleep so long/s, 'is named');
done_testing();
