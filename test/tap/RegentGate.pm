# RegentGate.pm
#    The watchdog's part towards one gate, played by the test: rules, and grants
#    in heartbeats, each sent as the role regent_watchdog.  The node's standbys give
#    it no lease (regent.lease_from_standbys is off), so a gate is open exactly as
#    long as the test wants.
package RegentGate;

use strict;
use warnings;
use RegentCluster qw(wait_until);

our $watchdog = '11111111-2222-4333-8444-555555555555';

# Settings that such a cluster needs; a walreceiver that notices a frozen primary late is no harm here.
our $conf = "regent.lease_from_standbys = off\nmax_prepared_transactions = 10\n";

# new(cluster => $c, node => 'n1', voters => '{n1,n2}', durability => 'async', quorum => 0)
sub new
{
	my ($class, %o) = @_;
	my $self = bless { durability => 'async', quorum => 0, term => 2, seq => 0, %o }, $class;
	$self->sql('CREATE EXTENSION pg_regent');
	$self->sql('CREATE ROLE watchdog LOGIN IN ROLE regent_watchdog');
	return $self;
}

sub sql { my ($self, $query, %o) = @_; return $self->{cluster}->sql($self->{node}, $query, %o) }

sub as_watchdog { my ($self, $query) = @_; return $self->sql($query, conninfo => 'user=watchdog') }

sub status { my ($self, $column) = @_; return $self->sql("SELECT $column FROM regent.node_status()") }

# The next rule of this term, with this lease.
sub rule
{
	my ($self, $lease) = @_;
	$self->{seq}++;
	$self->as_watchdog("SELECT regent.write_rule('$watchdog', 1, $self->{term}, $self->{seq}, '$self->{node}',
		'$self->{voters}', '$self->{durability}', $self->{quorum}, '{}', '$lease', NULL, 'test')");
}

# A lease of so many milliseconds, or as long as the rule allows.
sub grant
{
	my ($self, $ms) = @_;
	$ms //= 3600000;
	$self->as_watchdog("SELECT h.gate FROM regent.heartbeat('$watchdog', 1, NULL, NULL, $self->{term}, NULL) s,
		regent.heartbeat('$watchdog', 1, s.boot_id, s.started_at, $self->{term}, s.boottime_ms + $ms) h");
}

# Open until further notice, or for so long at most.
sub open
{
	my ($self, $lease) = @_;
	$self->rule($lease // '1 hour');
	# not by another question, for which a short lease may be over
	my $gate = $self->grant;
	die "the gate did not open: $gate" if $gate ne 'open';
}

# A rule with the shortest lease cuts the one in force.
sub close
{
	my ($self) = @_;
	$self->rule('1 millisecond');
	$self->wait_closed(5);
}

sub wait_closed
{
	my ($self, $timeout) = @_;
	wait_until(sub { $self->status('gate') eq 'closed' }, $timeout, 'the gate to close');
}

1;
