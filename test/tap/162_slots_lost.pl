# A slot that the server has invalidated, and WAL that only the archive has: the slot is
# made anew, and the node catches up from the archive, without a copy (F33, F34).
use strict;
use warnings;
use RegentCluster qw(wait_until slurp);
use Test::More;

my $c = RegentCluster->new(nodes => 2, servers => 0);
my $archive = $c->dir . '/archive';
mkdir $archive;
$c->{o}{conf} = <<"END";
max_wal_size = 64MB
min_wal_size = 32MB
max_slot_wal_keep_size = 32MB
archive_mode = on
archive_command = 'cp %p $archive/%f'
restore_command = 'cp $archive/%f %p'
END
$c->make_primary('n1');
$c->make_standby('n2');
$c->up;
$c->sql('n1', 'CREATE TABLE t (id int)');

sub slot { return $c->sql('n1', "SELECT $_[0] FROM pg_replication_slots WHERE slot_name = 'regent_n2'") }
my $inode = (stat $c->node('n2')->{dir})[1];

$c->stop_server('n2');
$c->wait_node('n2', 'dead');
for (1 .. 6)
{
	$c->sql('n1', 'INSERT INTO t VALUES (1); SELECT pg_switch_wal()');
}
$c->sql('n1', 'CHECKPOINT');
wait_until(sub { slurp($c->node('n1')->{log}) =~ /dropped replication slot "regent_n2"\n.*invalidated/ }, 20, 'the lost slot to be noticed');
wait_until(sub { (slot('wal_status') // '') eq 'reserved' }, 20, 'a new slot');
pass('wal_status = lost: the slot is made anew');
my $e = $c->wait_event('slot_released', 30, qr/n1 keeps WAL for n2 no longer/);
ok($e, 'people are told');
$c->sql('n1', 'CHECKPOINT');
my $first = $c->sql('n1', "SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}\$'");
cmp_ok($first, 'gt', '000000010000000000000004', "WAL from $first on is left on n1");

# what n2 needs is in the archive only
$c->start_server('n2');
$c->wait_node('n2', 'ok');
$c->wait_caught_up('n1', 'n2');
is($c->sql('n2', 'SELECT count(*) FROM t'), '6', 'n2 has all rows');
is((stat $c->node('n2')->{dir})[1], $inode, 'from the archive: nothing was copied');
ok(!(grep { $_->{event} =~ /^rebuild_/ } $c->events), 'no rebuild was begun');

# what comes along with a copy is put away, what is others' is not
$c->sql('n2', "SELECT pg_create_physical_replication_slot('regent_n2', true), pg_create_physical_replication_slot('mine')");
wait_until(sub { $c->sql('n2', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'regent_n2'") eq '0' }, 20, 'the slot of n2 on n2 to be dropped');
is($c->sql('n2', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'mine'"), '1', "another's slot is left alone");
done_testing();
