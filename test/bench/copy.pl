# copy.pl
#    Copies of one primary of about 2 GB, in turns on one machine, all of them on
#    disk before they count as done: plain pg_basebackup, "regent-node copy" and
#    "regent-node delta" out of a directory of which 5 % of the blocks have
#    changed since.  The ratios of the medians are what counts.
#
# Both ends are on one machine, so what is saved of the network does not show.  With
# --link MB each round does all of it twice: over loopback, and over a link of so many MB
# a second (link.c); 117 is what is left of 1 Gbit/s.
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use RegentCluster qw(run_command);
use BenchTools qw(link_to link_capacity median file_system);
use Time::HiRes qw(time);

$| = 1;
my ($rounds, $scale, $link) = (5, 132, 0);
GetOptions('rounds=i' => \$rounds, 'scale=i' => \$scale, 'link=f' => \$link) or exit 2;
my $json = JSON::PP->new->canonical;
chomp(my $bin = qx($ENV{PG_CONFIG} --bindir));

my $c = RegentCluster->new(nodes => 2, no_sshd => 1, servers => 0,
	conf => "regent.gate = off\nshared_buffers = 256MB\nmax_wal_size = 8GB\nautovacuum = off\n");
my $n1 = $c->node('n1');
my $old = $c->node('n2')->{dir};

$c->make_primary('n1');
my %port = (loopback => $n1->{port}, $link > 0 ? (link => link_to($c, $n1->{port}, $link)) : ());
RegentCluster::must([ "$bin/pgbench", '-i', '-q', '-s', $scale, $c->conninfo('n1') ], timeout => 900);
$c->sql('n1', 'VACUUM FREEZE', timeout => 300);
$c->make_standby('n2');
$c->init_cluster;
$c->wait_caught_up('n1', 'n2');
$c->stop_server('n2');
# a row in each 35th page of the table; with the index that is a block in twenty
$c->sql('n1', 'UPDATE pgbench_accounts SET abalance = 1 WHERE aid % (61 * 35) = 0', timeout => 300);
$c->sql('n1', 'CHECKPOINT', timeout => 300);

# Seconds.  What lies in the page cache unwritten is not this one's.
sub timed
{
	my ($code) = @_;
	RegentCluster::must(['sync'], timeout => 300);
	my $began = time();
	$code->();
	return time() - $began;
}

# Gives the blocks of a copy back and keeps its inodes to the end: ext4 without a
# journal goes around each inode that was deleted within the last minutes, for every file
# that is made, so that one way would pay for what the one before it has left.
my $kept = 0;
sub give_back
{
	my ($dir) = @_;
	my $aside = $c->dir . '/n2/gone.' . ++$kept;
	rename $dir, $aside or die "$dir: $!";
	RegentCluster::must([ 'find', $aside, '-type', 'f', '-exec', 'truncate', '-s', '0', '{}', '+' ], timeout => 300);
}

sub verb
{
	my (@words) = @_;
	my ($rc, $out, $err) = run_command([ "$RegentCluster::top/scripts/regent-node", '-c', $c->dir . '/node.conf', 'n2', @words ], timeout => 900);
	die "@words: $out$err" if $rc != 0;
	return decode_json((grep { /^\{/ } split /\n/, $out)[-1]);
}

# Each takes the port at which the source is reached.
my $transferred;
sub source { my ($port) = @_; return (1, 'n1', '127.0.0.1', $port, 'regent_replication', $c->dir . '/pgpass', 'regent_n2') }
my %runs = (
	plain => sub {
		RegentCluster::must([ "$bin/pg_basebackup", '-D', "$old.plain", '-d', "host=127.0.0.1 port=$_[0] user=postgres", '-X', 'stream', '-c', 'fast' ], timeout => 900);
	},
	copy => sub { verb('copy', source(@_)) },
	delta => sub { my $a = verb('delta', source(@_)); $transferred = sprintf '%.1f%% of %.2f GB transferred', 100 * $a->{transferred} / $a->{bytes}, $a->{bytes} / 1e9 });

my %times;
for my $round (0 .. $rounds)
{
	# the first round warms caches and does not count; then each way comes first in turn
	my @ways = sort keys %runs;
	push @ways, shift @ways for 1 .. $round % @ways;
	for my $over ($round > 0 ? reverse sort keys %port : 'loopback')
	{
		for my $way (@ways)
		{
			my $seconds = timed(sub { $runs{$way}->($port{$over}) });
			push @{ $times{$over}{$way} }, $seconds if $round > 0;
			print $json->encode({ scenario => 'copy', over => $over, way => $way, round => $round, seconds => sprintf('%.2f', $seconds) + 0 }), "\n";
			give_back($way eq 'plain' ? "$old.plain" : "$old.regent-new");
			verb('discard') if $way ne 'plain';
		}
	}
}
printf "\nThe relay of the link alone carries %.0f MB/s\n", link_capacity($c) if $link > 0;
printf "\n%d rounds, medians, on %s; %s\n", $rounds, file_system($c->dir), $transferred;
for my $over (reverse sort keys %times)
{
	my %m = map { $_ => median(@{ $times{$over}{$_} }) } keys %{ $times{$over} };
	printf "over %s: pg_basebackup %.2f s, regent-node copy %.2f s, regent-node delta %.2f s\n",
		$over eq 'link' ? "a link of $link MB/s" : 'loopback', @m{qw(plain copy delta)};
	printf "\tcopy takes %.2f times as long as pg_basebackup; delta is %.2f times faster than pg_basebackup\n", $m{copy} / $m{plain}, $m{plain} / $m{delta};
}
$c->finish;
